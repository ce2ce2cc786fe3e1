"""How a trained model's score falls when its input is disturbed; ``document`` puts it together.

A noise changes raw values before an encoder prepares them, a disturbance of rows (``rows``) only
says which value each row gets. All draw from one seeded stream, started anew for every disturbance:
the severities of a noise share their draws, so that a higher one disturbs what a lower one did, and
more. Nothing is changed in place, and severity 0 is the input itself.
"""
