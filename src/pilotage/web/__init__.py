"""The live page: one document, one module, one style sheet, read by the browser from this folder.

In: nothing but the public API, read by the page itself. Out: bytes with their media types. No build step, no
framework, and no logic of the service here.
"""
