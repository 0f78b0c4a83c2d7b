"""From maps to instances, and from instances to numbers: arrays in, arrays out."""
