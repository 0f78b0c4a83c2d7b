"""What `predict` is made of: a plan, and a model at work on one volume."""
