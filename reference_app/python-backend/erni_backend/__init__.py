"""The reference backend: it honours the product's contract and answers by rule instead of by language model."""
