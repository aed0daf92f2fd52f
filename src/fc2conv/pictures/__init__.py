"""Pictures of a run, drawn from its folder: learning curves, confusion matrix, filters, mistakes, feature maps."""
