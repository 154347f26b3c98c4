"""Transfer: methods that learn from few images, compared over numbers of shots and over draws, in one study folder."""
