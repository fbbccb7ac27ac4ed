from brainuad.download.known.known_set import known_set as known_set
