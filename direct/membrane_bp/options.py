"""Options of the rule `membrane-bp`."""

from types import MappingProxyType

from network.options import NOT_NEGATIVE, POSITIVE, SHARE, Option, Options, Range

OPTIONS: Options = MappingProxyType(
    {
        "tau_ms": Option(20.0, "τ_mp, of the membrane, in ms", POSITIVE),
        "refractory_ms": Option(1.0, "time without spikes after a spike, in ms", POSITIVE),
        "step_ms": Option(1.0, "length of a step, in ms", POSITIVE),
        "alpha": Option(  # the paper uses 3 to 10
            3.0, "first thresholds: θ = α·√(3/M) with M inputs", Range(above=1.0)
        ),
        "inhibition": Option(
            0.4, "strength of lateral inhibition in the first hidden layer", SHARE
        ),
        "output_inhibition": Option(1.0, "the same in the output layer", SHARE),
        "weight_lambda": Option(
            0.002, "λ, strength of exponential regularisation of hidden weights", NOT_NEGATIVE
        ),
        "weight_beta": Option(10.0, "β of that regularisation", NOT_NEGATIVE),
        "output_lambda": Option(  # the paper regularises hidden weights only
            0.0, "its strength in the output layer", NOT_NEGATIVE
        ),
        "threshold_rate": Option(  # η_th/η_w
            0.1,
            "rate at which thresholds learn, as a share of that of the weights",
            NOT_NEGATIVE,
        ),
        "rho": Option(  # whose schedule it follows
            4e-5, "ρ, step of threshold regularisation at the peak learning rate", NOT_NEGATIVE
        ),
        "floor": Option(0.5, "lowest threshold, as a share of the first one", SHARE),
        "balance": Option(0.75, "share of the largest output's own slope in the error", SHARE),
    }
)
