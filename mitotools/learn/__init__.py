"""Networks: their targets, patches, training and application. Home of torch."""
