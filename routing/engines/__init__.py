"""Search engines. Each has the same two functions: ``covers`` says whether its model knows all
that a problem asks for; ``search`` gives better orders of stops by vehicle than those it starts
from, or nothing. What an engine gives is never trusted: the solver times and checks it."""
