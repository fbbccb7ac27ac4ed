"""Score the anomaly maps of a study anew under many defensible choices, without training, and compare the rankings."""
