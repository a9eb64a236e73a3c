"""The wire forms as generated from the .proto files beside (``make protos``); nothing here is written by hand.

In: bytes. Out: messages. Only `pilotage.api.grpc` may import it; the rooms below never see a message.
"""
