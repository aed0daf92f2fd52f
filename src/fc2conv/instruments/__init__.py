"""What can be measured on a trained network."""
