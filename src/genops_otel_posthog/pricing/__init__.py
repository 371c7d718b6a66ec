"""How much: PostHog's meters, its billing rules, dated price books, and what follows from them.

The room knows numbers and nothing else: no OpenTelemetry, no PostHog SDK, no network, no files but its own price books
and the one a user names. Names are imported from the modules directly, so that pricing a call never loads the YAML
parser's or the forecast's code before they are used.
"""
