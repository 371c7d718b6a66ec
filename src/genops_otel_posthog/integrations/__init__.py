"""One file for each framework: a session, with its owner, for every request, task and invocation.

A framework is imported when its integration is used, and none of them is needed by the rest of the package.
"""
