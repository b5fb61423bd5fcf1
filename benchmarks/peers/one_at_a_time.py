"""A classifier behind a plain FastAPI handler which computes one request at a time.

`python -m benchmarks.peers.one_at_a_time LIBRARY DIR THREADS` prints the port at which it serves.
"""

import socket
import sys
import threading
from collections.abc import Callable

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

LIBRARIES = ("transformers", "regard")


class Texts(BaseModel):
    """A request."""

    texts: list[str]


def classifier(library: str, folder: str) -> Callable[[str], dict[str, float]]:
    """The probabilities of the classes of a text, by one library or the other."""
    if library == "regard":
        from regard.reading.reader import Reader

        reader = Reader.load(folder)
        return lambda text: reader.predict([text])[0].probabilities or {}
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    labels = [model.config.id2label[n] for n in range(model.config.num_labels)]

    def predict(text: str) -> dict[str, float]:
        """Of one text."""
        with torch.inference_mode():
            scores = model(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0]
        return dict(zip(labels, scores.softmax(-1).tolist(), strict=True))

    return predict


def application(predict: Callable[[str], dict[str, float]]) -> FastAPI:
    """The handler and its lock."""
    app, lock = FastAPI(), threading.Lock()

    @app.post("/predict")
    def handle(body: Texts) -> dict[str, list[dict[str, dict[str, float]]]]:
        """One text after the other."""
        with lock:
            return {"predictions": [{"probabilities": predict(text)} for text in body.texts]}

    return app


if __name__ == "__main__":
    library, folder, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    app = application(classifier(library, folder))
    bound = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(bound.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([bound])
