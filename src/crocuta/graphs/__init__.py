"""Learning on graphs: links, classes of nodes, distances: `crocuta lab graph`."""
