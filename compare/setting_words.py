"""What every key of a study file means, in a line: docs/reference.md."""

from __future__ import annotations

from collections.abc import Mapping

STUDY: Mapping[str, str] = {
    "name": "of the study in records and under runs/; the file's name where it is left out",
    "title": "heading of the report",
    "description": "a sentence or two under it",
    "source": "paper, table or figure that the study follows",
    "differences": "what it has otherwise than the source, a phrase each; behind those of its base",
    "expected_minutes": "on 2 cores, for `isospike studies`",
    "expected_minutes_h100": "the same on one H100",
    "datasets": "`isospike list datasets`; also folder:PATH, npz:PATH",
    "architectures": "`isospike list architectures`; mlp-H-H, module:function, file.py:function",
    "methods": "`isospike list conversions`, `rules` and `presets`, and names of variants",
    "variants": "methods under names of their own: tables [variants.NAME], below",
    "seeds": "a number n for the seeds 0 … n−1, or a list of seeds",
    "timesteps": "largest T of every sweep; it holds the answers for every smaller T",
    "train_timesteps": "T of direct training, one network for each; its rule's own by default",
    "encoding": "constant, poisson, poisson-signed or poisson-total; of recordings: events",
    "events": "how recordings become frames: tables [events.DATASET], below",
    "batch_norm": "behind every layer with weights but the last, unless a rule wants it otherwise",
    "width": "factor on every number of hidden channels and units",
    "dropout": "probability, behind hidden fully connected layers or in front of the last layer",
    "augmentation": "none, shift, flip-shift, alternate-flip-shift, flip-crop, flip-crop-jitter, "
    "flip-crop-cutout or alternate-flip-shift-cutout; the data's own by default",
    "validation_images": "held out of training; 0: none; a tenth, at most 5,000, by default",
    "train_images": "use only so many",
    "test_images": "use only so many",
    "calibration_images": "that a conversion looks at; its method's number by default",
    "batch_size": "images at once in sweeps and calibration; it changes last bits at most",
    "precision": "of training, float32 or bfloat16; auto: the faster one here, by a short probe",
    "sweep_precision": "int24, int16, int8, float32, bfloat16; auto: int24, or `precision`",
    "probe": "what `auto` found, as a run fills it in; nothing where a precision was asked for",
    "threads": "of each case; one for small networks, else all cores, by default",
    "ann": "training of the ANN: table [ann], below",
    "direct": "training of direct methods: table [direct], below",
    "options": "of methods: tables [options.METHOD], and [options.qcfs-ann]",
    "paper": "published numbers beside ours: rows [[paper]], below",
    "parts": "a study of several: rows [[parts]], each with keys that it sets otherwise",
    "base": "a built-in study whose keys hold where this file is silent",
}

TRAINING: Mapping[str, str] = {
    "epochs": "passes over the training images; 0 under `[ann]`: a network of your own as it comes",
    "batch_size": "images of a step",
    "optimiser": "adamw, adam or sgd",
    "learning_rate": "at its peak",
    "weight_decay": "of weights; norms, biases and thresholds have none",
    "momentum": "of sgd",
    "nesterov": "momentum of sgd looks ahead",
    "schedule": "one-cycle, triangle, step, cosine or constant",
    "milestones": "epochs at which schedule step multiplies the rate by gamma",
    "gamma": "that factor",
    "warm_up": "share of the training in which one-cycle or triangle rises",
    "bias_rate": "factor on the rate of biases of batch norm",
    "lookahead": "weights are pulled to a running mean of theirs, more so towards the end",
    "whitened": "the first convolution of a fresh network whitens patches and is not trained",
    "identity": "hidden convolutions start by handing on what they read",
    "fixed_scales": "scales of batch norm stay what they are, and only its biases are learned",
    "clip_gradient": "largest norm of the gradient",
    "label_smoothing": "share of the label that is spread over all classes",
    "score_scale": "factor on the class scores in the loss alone",
}

VARIANT: Mapping[str, str] = {
    "method": "the registered method that it is",
    "options": "its options, over those of [options.METHOD]",
    "training": "its training, as in [direct]",
    "train_timesteps": "as in the study",
    "encoding": "as in the study; its ANN has it too",
    "batch_norm": "as in the study; its ANN has it too",
    "dropout": "as in the study; its ANN has it too",
}

FRAMES: Mapping[str, str] = {
    "timesteps": "number of frames of a recording",
    "size": "pixels of a side that the sensor's are binned to; the sensor's own by default",
    "window_ms": "milliseconds of one frame, from the first event on: what comes after timesteps · "
    "window_ms is left out; by default the recording is cut into `timesteps` equal parts",
}

PAPER: Mapping[str, str] = {
    "dataset": "which of our curves it stands beside",
    "architecture": "the same",
    "method": "the same",
    "train_timesteps": "the same",
    "measure": "what was published: accuracy, spikes_per_image, iso_speedup, …",
    "value": "the published number",
    "unit": "of it, in words",
    "source": "where it was published",
    "timestep": "of ours; the T at which the method is reported by default",
    "label": "words for the row",
}
