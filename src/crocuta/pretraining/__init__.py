"""Language models of a genome: `crocuta pretrain` and `crocuta generate`."""
