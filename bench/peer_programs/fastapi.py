"""The model behind FastAPI, as its tutorial writes a service."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from bench.peer_programs.score import Model

app = FastAPI()
model = Model()


class Question(BaseModel):
    """A feature vector."""

    features: list[float | None]


class Answer(BaseModel):
    """What the model says."""

    probability: float
    interval_low: float
    interval_high: float


@app.post("/predict")
def predict(question: Question) -> Answer:
    """Answer one question."""
    return Answer(**model.score([question.features])[0])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
