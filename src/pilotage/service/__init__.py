"""The task queue alive: drives the pure machine with a clock, a journal, and instances to talk to.

In: commands (submit, cancel, register, a result came) from any API. Out: stored state, tasks sent to instances, events
for whoever watches. It owns the event loop's side of everything, and knows neither SQL nor HTTP: both are ports.
"""
