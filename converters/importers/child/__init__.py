"""A framework's side of the importers: runs in that framework's own process and imports nothing of the project.

main      one step of a job
classes   a class that a user names, and the inputs that it is given
cases     which sizes a model takes, and its numbers at them
pytorch/ paddle.py mindspore.py    what differs: `called` is a model to be run, `route` writes a graph or
          a program of it, `save` a program of a model that is in memory
"""
