"""Soil moisture of several products at stations, day by day."""
