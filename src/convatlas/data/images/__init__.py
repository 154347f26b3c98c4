"""The images of a data set: in memory or in files, decoded where they are needed."""
