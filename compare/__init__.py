"""The study: data, specification, one case, run directories, the command line."""
