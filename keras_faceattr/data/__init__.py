"""From data sets on disk to batches: manifests, splits, photos, crops, augmentation."""
