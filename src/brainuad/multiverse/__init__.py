"""Score the anomaly maps of a study anew under many choices of scoring, without training, and compare the rankings."""
