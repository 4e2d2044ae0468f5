"""Scenes as users bring them: in memory, in archives, on servers, computed, without georeference."""

import re
import threading
import unittest
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import processing
from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingException,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from unclouded_qgis import settings

from harness import QUICK, pixels
from input_case import WINDOW, InputCase, grid_box, polygons


@contextmanager
def serve(folder):
    """An HTTP server of a folder that answers parts of files; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = Path(folder) / unquote(self.path).lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first = int(asked.group(1)) if asked else 0
            last = int(asked.group(2) or 10**9) if asked else len(content) - 1
            part = content[first : last + 1]
            self.send_response(206 if asked else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(part)))
            end = first + len(part) - 1
            self.send_header("Content-Range", f"bytes {first}-{end}/{len(content)}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(part)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Sources(InputCase):
    def test_scene_in_memory_and_in_an_archive(self):
        gdal.GetDriverByName("GTiff").CreateCopy(
            "/vsimem/szene.tif", gdal.Open(str(self.scene))
        )
        self.addCleanup(gdal.Unlink, "/vsimem/szene.tif")
        expected, _ = self.run_it(MASK=str(self.mask))
        archive = self.folder / "paket ü.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.write(self.scene, "innen/szene.tif")
        for source in ("/vsimem/szene.tif", f"/vsizip/{archive}/innen/szene.tif"):
            layer = QgsRasterLayer(source, "flüchtig")
            self.assertTrue(layer.isValid())
            QgsProject.instance().addMapLayer(layer)
            filled, _ = self.run_it(INPUT=layer.id(), MASK=str(self.mask))
            self.assertTrue((filled == expected).all())

    def test_subdataset(self):
        path = str(self.folder / "zwei bänder.gpkg")
        rgb = gdal.Translate(
            "",
            str(self.scene),
            format="MEM",
            bandList=[4, 3, 2],
            outputType=gdal.GDT_Byte,
            scaleParams=[[500, 3000, 1, 254]],
        )
        options = ["RASTER_TABLE=bild", "TILE_FORMAT=PNG"]
        gdal.GetDriverByName("GPKG").CreateCopy(path, rgb, options=options)
        layer = QgsRasterLayer(f"GPKG:{path}:bild", "im Paket")
        self.assertTrue(layer.isValid(), layer.error().message())
        QgsProject.instance().addMapLayer(layer)
        found = processing.run(
            "unclouded:fillmask",
            {
                "INPUT": layer,
                "MASK": polygons([("a", grid_box(self.scene, (10, 10, 20, 20)))]),
                "OUTPUT": "TEMPORARY_OUTPUT",
                "BANDS": "1,2,3",
                **QUICK,
            },
        )
        result = gdal.Open(found["OUTPUT"])
        self.assertGreaterEqual(result.RasterCount, 3)
        self.assertEqual(found["CLEAR_PIXELS_CHANGED"], 0)

    def test_layer_computed_by_qgis_is_fetched(self):
        from qgis.core import QgsRasterDataProvider

        layer = QgsRasterLayer(str(self.scene), "szene")
        wanted = QgsRasterDataProvider.VirtualRasterParameters()
        wanted.crs, wanted.extent = layer.crs(), layer.extent()
        wanted.width, wanted.height = layer.width(), layer.height()
        wanted.formula = '"szene@4" * 2'
        entry = QgsRasterDataProvider.VirtualRasterInputLayers()
        entry.name, entry.uri, entry.provider = "szene", str(self.scene), "gdal"
        wanted.rInputLayers = [entry]
        uri = QgsRasterDataProvider.encodeVirtualRasterProviderUri(wanted)
        computed = QgsRasterLayer(uri, "doppelt", "virtualraster")
        self.assertTrue(computed.isValid())
        QgsProject.instance().addMapLayer(computed)
        found = processing.run(
            "unclouded:removeclouds",
            {
                "INPUT": computed,
                "MASK": str(self.mask),
                "OUTPUT": str(self.folder / "doppelt.tif"),
                "BANDS": "1,1,1",
                **QUICK,
            },
        )
        clear = pixels(self.mask) != 1
        expected = pixels(self.scene, 4).astype(float) * 2
        result = pixels(found["OUTPUT"])
        self.assertEqual(result.dtype, expected.dtype)
        self.assertTrue((result[clear] == expected[clear]).all())

    def test_pictures_of_a_server_are_refused(self):
        tiles = f"file://{self.folder}/{{z}}/{{x}}/{{y}}.png".replace(" ", "%20")
        layer = QgsRasterLayer(f"type=xyz&url={tiles}&zmax=3&zmin=0", "tiles", "wms")
        self.assertTrue(layer.isValid(), layer.error().message())
        QgsProject.instance().addMapLayer(layer)
        self.refused("from a server as pictures", INPUT=layer.id(), MASK=str(self.mask))

    def test_scene_on_a_server(self):
        """A GeoTIFF behind HTTP: the program reads it where it is."""
        with serve(self.folder) as address:
            source = f"/vsicurl/{address}/{quote(self.scene.name)}"
            layer = QgsRasterLayer(source, "fern")
            self.assertTrue(layer.isValid())
            QgsProject.instance().addMapLayer(layer)
            filled, _ = self.run_it(INPUT=layer.id(), MASK=str(self.mask))
        self.assertTrue((filled == (pixels(self.mask) == 1)).all())
        gone = {"INPUT": layer.id(), "MASK": str(self.mask)}
        with self.assertRaises(QgsProcessingException):
            self.run_it(**gone)

    def test_scene_without_georeference(self):
        plain = self.folder / "ohne.tif"
        data = gdal.Open(str(self.scene)).ReadAsArray()
        made = gdal.GetDriverByName("GTiff").Create(
            str(plain), *WINDOW[2:], 13, gdal.GDT_UInt16
        )
        made.WriteArray(data)
        del made
        layer = QgsRasterLayer(str(plain), "ohne")
        # QGIS draws such a raster with rows downwards from 0.
        drawn = polygons([("a", QgsRectangle(10, -30, 40, -20))], crs="")
        drawn.setCrs(QgsCoordinateReferenceSystem())
        self.scene = plain
        filled, _ = self.run_it(INPUT=layer, MASK=drawn, BANDS="4,3,2", GROW=0)
        expected = np.zeros_like(filled)
        expected[20:30, 10:40] = True
        self.assertTrue((filled == expected).all())

    def test_overwriting_replaces_stale_statistics(self):
        target = self.folder / "ergebnis.tif"
        target.write_text("old")
        stale = self.folder / "ergebnis.tif.aux.xml"
        stale.write_text("<PAMDataset/>")
        self.run_it(MASK=str(self.mask))
        self.assertFalse(stale.exists())

    def test_memory_bound_of_the_settings(self):
        settings.save("", "auto", 1)
        self.addCleanup(settings.save, "", "auto", 0)
        with self.assertRaisesRegex(QgsProcessingException, "settings allow 1"):
            self.run_it(MASK=str(self.mask))
        settings.save("", "auto", 100_000)
        self.run_it(MASK=str(self.mask))


if __name__ == "__main__":
    unittest.main()
