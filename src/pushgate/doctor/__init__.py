"""What a machine can hold and why, and whether its node is well: small checks, each of which returns a finding."""
