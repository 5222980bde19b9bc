"""What does it cost? FLOPs, parameters and activations by formula (no torch), and by fvcore on a module."""
