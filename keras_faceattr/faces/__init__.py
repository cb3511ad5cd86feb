"""From a photo to its crops: finding faces, the crop specification, and cutting."""
