"""What every arm shares, so that the comparison is fair by construction."""
