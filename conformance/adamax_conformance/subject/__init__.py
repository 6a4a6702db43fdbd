"""An implementation under judgement: what it must offer, and how the judge guards itself."""
