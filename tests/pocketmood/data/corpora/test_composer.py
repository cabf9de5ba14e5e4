"""The composer: same song, same notes; cues that are really in the notes; artists with habits."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from pocketmood.data.corpora.composer import DRUMS, LEAD, MIDDLE_VELOCITY, PIECE_S, VELOCITY_PER_DB, compose
from pocketmood.data.corpora.instruments import MODES, artist_name
from pocketmood.data.corpora.song_parameters import BLOCK_ARTISTS, BLOCK_SONGS, artist_of, parameters_of


@pytest.fixture(scope="module")
def pieces():
    return [compose(3, song) for song in range(60)]


def test_same_seed_and_song_give_the_same_piece_and_others_do_not(pieces):
    assert compose(3, 17) == pieces[17]
    assert compose(4, 17).notes != pieces[17].notes
    assert len({piece.notes for piece in pieces}) == len(pieces)


def test_notes_fit_the_piece_and_midi(pieces):
    for piece in pieces:
        assert list(piece.notes) == sorted(piece.notes)
        for note in piece.notes:
            assert 0 <= note.start_s < note.end_s <= PIECE_S
            assert 1 <= note.velocity <= 127
            assert note.part == DRUMS or 24 <= note.pitch <= 103
        assert all(0 <= program <= 127 for program in piece.parameters.programs)


def test_melody_and_chords_stay_in_the_mode(pieces):
    for piece in pieces:
        allowed = {(piece.parameters.tonic + step) % 12 for step in MODES[piece.parameters.mode].steps}
        assert {note.pitch % 12 for note in piece.notes if note.part != DRUMS} <= allowed


def test_cues_are_counted_from_the_notes(pieces):
    for piece in pieces:
        lead = [note for note in piece.notes if note.part == LEAD]
        pitched = [note.velocity for note in piece.notes if note.part != DRUMS]
        np.testing.assert_allclose(piece.cues.notes_per_second, len(lead) / 31, rtol=1e-12, atol=0)
        np.testing.assert_allclose(piece.cues.register, sum(n.pitch for n in lead) / len(lead), rtol=1e-12, atol=0)
        loudness = (sum(pitched) / len(pitched) - MIDDLE_VELOCITY) / VELOCITY_PER_DB
        np.testing.assert_allclose(piece.cues.loudness_db, loudness, rtol=0, atol=1e-9)


def test_a_brief_is_kept_within_what_music_can_do(pieces):
    for piece in pieces:
        meant, played = piece.parameters.cues, piece.cues
        # The last bar is cut where the piece ends, so the density may miss by a bar's worth of notes.
        assert abs(played.notes_per_second - meant.notes_per_second) < 0.15 * meant.notes_per_second + 0.1
        assert abs(played.register - meant.register) < 5
        assert played.major == meant.major == MODES[piece.parameters.mode].major


def test_staccato_notes_are_shorter_than_legato_ones(pieces):
    def share_sounding(piece):
        # Sounding time of the melody per time from onset to onset, which is what articulation means.
        lead = [note for note in piece.notes if note.part == LEAD]
        gaps = np.diff([note.start_s for note in lead])
        return float(np.median([note.end_s - note.start_s for note in lead[:-1]] / gaps))

    cues = [piece.parameters.cues.articulation for piece in pieces]
    assert np.corrcoef(cues, [share_sounding(piece) for piece in pieces])[0, 1] < -0.85


def test_pieces_with_drums_and_without_in_three_and_in_four(pieces):
    drummed = [any(note.part == DRUMS for note in piece.notes) for piece in pieces]
    assert 15 < sum(drummed) < 45
    assert drummed == [piece.parameters.pattern is not None for piece in pieces]
    assert {piece.parameters.meter for piece in pieces} == {3, 4}
    assert len({piece.parameters.mode for piece in pieces}) == len(MODES)


def test_artists_repeat_within_their_block_only():
    blocks = [{artist_of(0, song).name for song in range(b * BLOCK_SONGS, (b + 1) * BLOCK_SONGS)} for b in range(4)]
    assert all(1 < len(block) <= BLOCK_ARTISTS for block in blocks)
    assert sum(map(len, blocks)) == len(set.union(*blocks))


def test_songs_of_an_artist_are_more_alike_than_songs_of_different_artists():
    by_artist = defaultdict(list)
    for song in range(600):
        parameters = parameters_of(0, song)
        by_artist[parameters.artist.name].append(parameters.cues.flute)
    within = np.mean([np.var(values) for values in by_artist.values() if len(values) > 2])
    everything = np.var([value for values in by_artist.values() for value in values])
    assert within < 0.85 * everything


def test_every_artist_has_a_name_of_its_own():
    assert Counter(artist_name(number) for number in range(1500)).most_common(1)[0][1] == 1


def test_valence_and_arousal_lean_the_way_that_listeners_hear_it():
    drawn = [parameters_of(0, song) for song in range(600)]
    density = np.log2([parameters.cues.notes_per_second for parameters in drawn])
    major = np.array([parameters.cues.major for parameters in drawn])
    # Happy music is faster and in happier modes: the cues share a mood, but no cue gives another away.
    assert 0.3 < np.corrcoef(density, major)[0, 1] < 0.85
