"""The state machine that hypothesis drives: rules by what they are about, each on the volume and its model alike."""
