"""deedlog: services that keep commands and queries apart."""
