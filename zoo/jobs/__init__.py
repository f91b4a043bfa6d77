"""Conversion in the background: a submission becomes a published version, once, or an explanation.

    Jobs.submit ──► table `job` ──► a worker's queue (DBOS) ──► steps ──► Registry.publish

A published version never changes, so what is submitted is not a version yet: it becomes one when every
form that its policy names is there and verified. The tables here are what is told of jobs and who may
write; DBOS remembers which steps are done. A worker that is not in `job_worker` may write nothing more:
whoever is counted as dead is removed from there, and its jobs go to others.
"""
