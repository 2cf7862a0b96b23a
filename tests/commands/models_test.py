"""Tests of the table of trained models, and that README's agrees with it."""

import re

import pixelcnn_aux as pa
from pixelcnn_aux.commands import models
from tests import helpers


class ModelsTest(helpers.TestCase):
    def test_a_line_for_each(self):
        titles, *lines = helpers.run_program(models).splitlines()
        self.assertEqual(titles.split(), ["model", "for", "trained", "on", "bits/dim"])
        cards = pa.pretrained()
        for line, (name, card) in zip(lines, cards.items(), strict=True):
            found = re.split("  +", line)
            expected = [name, card["purpose"], f"{card['bits_per_dim']:.3f}"]
            self.assertEqual([*found[:2], found[3]], expected)
            self.assertStartsWith(card["data"], found[2])
            self.assertLess(len(line), 110)

    def test_readme_has_their_figures(self):
        page = (helpers.ROOT / "README.md").read_text()
        for name, card in pa.pretrained().items():
            hours, bits = f"{card['seconds'] / 3600:.1f}", f"{card['bits_per_dim']:.3f}"
            if name != "photographs-fast":  # which has no row
                self.assertRegex(page, rf"`{name}` \|.* {hours} \| \*\*{bits}\*\* \|")
