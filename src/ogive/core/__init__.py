"""The language of the library: records, protocols and the one loop; numpy and the standard library only."""
