"""Speed, memory and agreement of isospike's ways of computing; not installed with it."""
