from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pandas as pd
from fastapi import FastAPI, HTTPException, Request

from registry import Champion, RegistryError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with Champion("iris", refresh=30) as app.state.champion:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(rows: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    model = request.app.state.champion.model  # taken once, so that what is named is what answered
    try:
        prediction = model.predict(pd.DataFrame(rows))
    except RegistryError as error:
        raise HTTPException(422, str(error)) from error
    return {"prediction": prediction.tolist(), "version": model.version.reference}


@app.get("/health")
def health(request: Request) -> dict[str, Any]:
    champion: Champion = request.app.state.champion
    error = champion.error and str(champion.error)
    return {"version": champion.version.reference, "checked_at": champion.checked_at, "error": error}
