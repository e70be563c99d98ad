"""Speed, memory and agreement of isospike's ways of computing; not installed with it."""

from compare.spinning import rest_soon

rest_soon()  # as the command line does, before torch is loaded
