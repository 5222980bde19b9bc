"""How is a network made in another library?

Each library has a file that reads a network's numbers into a call or a config there, and says which network that is in
our words. Where it is another one, the first number that differs is why the library cannot express ours.
"""
