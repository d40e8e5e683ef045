"""The contract of a store, and the values that say how to reach files; workers get them too."""
