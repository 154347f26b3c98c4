"""The verbs as Python functions, for networks, training and answers. The package `convatlas` itself has all of them.

>>> import tempfile
>>> import convatlas
>>> with tempfile.TemporaryDirectory() as folder:
...     settings = {"epochs": 1, "image_size": 32}
...     run = convatlas.train("lenet5", data="digits", settings=settings, out=f"{folder}/run", quiet=True)
...     network = convatlas.load(run)
...     evaluation = convatlas.evaluate(run)
...     kept = convatlas.predictions(folder)
>>> type(network).__name__, run.status
('Sequential', 'finished')
>>> evaluation.logits.shape, bool((evaluation.logits.argmax(1) == evaluation.labels).mean() == evaluation.top1)
((360, 10), True)
>>> list(kept), bool((kept["run"]["test_logits"] == evaluation.logits).all())
(['run'], True)
"""
