"""The control plane: decides, watches and shows; it may import the data plane, never the other way round."""
