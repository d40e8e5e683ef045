"""The Spark session, its Java, its workers, and the package that they are sent."""
