"""RabbitMQ: requests come in over a quorum queue, and go out with confirms.

In: a broker's URL and the names of the topology. Out: batches of deliveries that are acknowledged only when told so,
and publishes that either are confirmed or raise an error that says why not. This room never looks into a body, never
decides whether a message is good, and never acknowledges by itself.
"""
