"""How do weights come from one scale to another? One walk over both networks, and a source for each channel."""
