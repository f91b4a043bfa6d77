"""Torch's side of the importer: runs in torch's own process and imports nothing of the project.

main      one step of a job
sources   a file, folder or class -> a module and how to call it
scripts   TorchScript -> an ordinary module that runs its graph operation by operation
cases     which sizes a module takes, and its numbers at them
routes    a module -> model.onnx
"""
