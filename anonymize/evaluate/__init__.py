"""How much is found and hidden, measured on labelled pictures through the engine that users run.

Joins what it measures, as the pipeline does; nothing of the engine imports it. `overlap`, `matching`, `intervals`,
`records` and `rates` are functions on arrays; `look` and `tracks` run the engine.
"""
