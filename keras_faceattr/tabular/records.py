"""Made-up records of a knowledge-sharing platform: paid live lectures with their ratings.

The records of the paper (Zhihu Live, crawled by its authors) are not public. These only have the same kind of columns
and the same crowding of scores below the best one; no number measured on them compares with the paper's.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

RECORD_COLUMNS: dict[str, str] = {
    "seats_taken": "people who paid for the lecture",
    "price_yuan": "ticket, in yuan",
    "duration_minutes": "length of the lecture",
    "speaker_messages": "voice messages of the speaker",
    "listener_messages": "questions and remarks of the listeners",
    "reply_share": "share of questions that the speaker answered, 0 to 1",
    "attachments": "files and pictures shown",
    "description_characters": "length of the announcement",
    "likes": "marks of liking on messages",
    "reviews": "listeners who rated the lecture",
    "speaker_followers": "followers of the speaker",
    "speaker_answers": "answers that the speaker wrote on the platform before",
    "speaker_upvotes": "votes for those answers",
    "speaker_lectures": "lectures that the speaker gave before",
    "speaker_verified": "1 where the platform has checked who the speaker is, else 0",
}
RECORD_TARGET = "score"
"""Mean rating of the lecture, 0 to 5, to two places."""


def lecture_records(count: int = 7000, seed: int = 0) -> pd.DataFrame:
    """Draws records whose score depends on their columns by interactions, an optimum and saturation, with noise.

    Args:
        count: how many.
        seed: the same seed and count give the same records.

    Returns:
        The 15 columns of `RECORD_COLUMNS` and the score; counts have long upper tails, as they have in life.
    """
    rng = np.random.default_rng(seed)

    def normal() -> np.ndarray:
        return rng.standard_normal(count)

    # What nobody records, but what makes a good lecture and leaves its marks in the columns.
    skill, effort = normal(), normal()
    fame = 0.5 * skill + 0.87 * normal()
    length, price = normal(), 0.4 * fame + 0.9 * normal()
    followers, answers = _tailed(fame + 0.3 * normal(), 1800, 0.6), _tailed(0.5 * fame + normal(), 60, 0.7)
    seats = _tailed(0.8 * fame - 0.35 * price + 0.5 * normal(), 220, 0.7)
    listener_messages = _tailed(0.6 * _level(seats) + 0.8 * normal(), 70, 0.6)
    reply_share = expit(0.4 + 0.7 * effort + 0.4 * skill + 0.6 * normal())
    attachments = rng.poisson(np.exp(1.0 + 0.5 * effort)).astype("float64")
    reviews = np.maximum(3, rng.binomial(seats.astype("int64"), expit(-1.0 + 0.3 * normal()))).astype("float64")
    verified = (rng.random(count) < expit(fame - 0.5)).astype("float64")
    likes = _tailed(0.6 * skill + 0.5 * _level(listener_messages) + 0.5 * normal(), 150, 0.7)

    appeal = (
        0.5 * skill
        + 0.3 * np.tanh(effort)
        # Leaving questions without answer hurts where many ask.
        + 0.5 * np.tanh(_level(listener_messages) + 0.5) * (2 * reply_share - 1)
        # A ticket is dear or cheap for the length that it buys, and people forgive a famous name.
        - 0.35 * np.maximum(0, price - 0.8 * length) * np.where(fame > 0.7, 0.3, 1.0)
        - 0.2 * np.minimum(length**2, 4.0)
        # Files help a short lecture and crowd a long one.
        - 0.25 * np.tanh((attachments - 3) / 3) * length
        + 0.2 * verified * np.tanh(fame)
    )
    # A mean of few ratings is a noisy one.
    score = 5 * expit(2.3 + 0.85 * appeal + 0.2 * normal()) + 0.9 * normal() / np.sqrt(reviews)
    return pd.DataFrame(
        {
            "seats_taken": seats,
            "price_yuan": _tailed(price, 19, 0.5),
            "duration_minutes": _tailed(length, 80, 0.3),
            "speaker_messages": _tailed(0.4 * effort + 0.6 * length + 0.5 * normal(), 90, 0.5),
            "listener_messages": listener_messages,
            "reply_share": reply_share.round(3),
            "attachments": attachments,
            "description_characters": _tailed(0.6 * effort + 0.8 * normal(), 600, 0.5),
            "likes": likes,
            "reviews": reviews,
            "speaker_followers": followers,
            "speaker_answers": answers,
            "speaker_upvotes": _tailed(0.5 * _level(answers) + 0.7 * skill + 0.4 * normal(), 900, 0.9),
            "speaker_lectures": rng.poisson(np.exp(0.5 + 0.5 * fame)).astype("float64"),
            "speaker_verified": verified,
            RECORD_TARGET: np.clip(score, 0, 5).round(2),
        }
    )


def _tailed(level: np.ndarray, middle: float, spread: float) -> np.ndarray:
    """Whole numbers around `middle` with a long upper tail; a level of ±1 is a factor of exp(±spread)."""
    return np.asarray(np.round(middle * np.exp(spread * level)))


def _level(counts: np.ndarray) -> np.ndarray:
    """Whole numbers back to a level of mean 0 and deviation 1."""
    logs = np.log1p(counts)
    return np.asarray((logs - logs.mean()) / logs.std())
