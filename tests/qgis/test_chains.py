"""Several runs together: a batch, a model with another algorithm behind, results that are loaded."""

import unittest

import numpy as np

import harness
from harness import DEMO, MASK, QUICK, SCENE, Folder, crop, pixels, qgis_process

APPLICATION, PLUGIN = harness.start_qgis()

import processing
from processing.gui.AlgorithmExecutor import execute
from processing.gui.Postprocessing import handleAlgorithmResults
from qgis.core import (
    QgsContrastEnhancement,
    QgsCoordinateReferenceSystem,
    QgsMultiBandColorRenderer,
    QgsPalettedRasterRenderer,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterRasterLayer,
    QgsProject,
    QgsRasterLayer,
    QgsSingleBandPseudoColorRenderer,
)

WINDOW = (60, 70, 96, 96)
Source = QgsProcessingModelChildParameterSource


class Chains(unittest.TestCase):
    def setUp(self):
        opened = Folder()
        self.folder = opened.__enter__()
        self.addCleanup(opened.__exit__)
        self.addCleanup(QgsProject.instance().clear)
        self.scene = crop(SCENE, self.folder / "szene.tif", WINDOW)
        self.mask = crop(MASK, self.folder / "maske.tif", WINDOW)

    def styled_scene(self):
        """The scene in the project, in colours nobody has by default."""
        layer = QgsRasterLayer(str(self.scene), "Szene")
        renderer = QgsMultiBandColorRenderer(layer.dataProvider(), 8, 4, 3)
        stretch = QgsContrastEnhancement(layer.dataProvider().dataType(8))
        stretch.setMinimumValue(123)
        stretch.setMaximumValue(4567)
        renderer.setRedContrastEnhancement(stretch)
        layer.setRenderer(renderer)
        layer.setOpacity(0.75)
        QgsProject.instance().addMapLayer(layer)
        return layer

    def run_and_load(self, parameters):
        """As the dialogs and the batch do: run, then load what asks to be loaded."""
        project = QgsProject.instance()
        before = set(project.mapLayers())
        algorithm = APPLICATION.processingRegistry().createAlgorithmById(
            "unclouded:removeclouds"
        )
        context, feedback = QgsProcessingContext(), QgsProcessingFeedback(False)
        context.setProject(project)
        for name in ("OUTPUT", "UNCERTAINTY", "PROVENANCE"):
            made = QgsProcessingOutputLayerDefinition("TEMPORARY_OUTPUT", project)
            parameters.setdefault(name, made)
        fine, reason = algorithm.checkParameterValues(parameters, context)
        self.assertTrue(fine, reason)
        self.assertEqual(context.layersToLoadOnCompletion(), {})
        fine, results = execute(algorithm, parameters, context, feedback)
        self.assertTrue(fine, feedback.textLog())
        self.assertTrue(handleAlgorithmResults(algorithm, context, feedback))
        new = [layer for key, layer in project.mapLayers().items() if key not in before]
        return {layer.name(): layer for layer in new}, results

    def test_results_are_styled(self):
        scene = self.styled_scene()
        layers, results = self.run_and_load(
            {"INPUT": scene.id(), "MASK": str(self.mask), **QUICK, "SAMPLES": 2}
        )
        self.assertEqual(
            sorted(layers),
            [
                "Szene: provenance",
                "Szene: uncertainty, high = guess",
                "Szene: without clouds",
            ],
        )
        filled = layers["Szene: without clouds"]
        renderer = filled.renderer()
        self.assertIsInstance(renderer, QgsMultiBandColorRenderer)
        self.assertEqual(
            (renderer.redBand(), renderer.greenBand(), renderer.blueBand()), (8, 4, 3)
        )
        stretch = renderer.redContrastEnhancement()
        self.assertEqual((stretch.minimumValue(), stretch.maximumValue()), (123, 4567))
        self.assertAlmostEqual(filled.opacity(), 0.75)

        renderer = layers["Szene: uncertainty, high = guess"].renderer()
        self.assertIsInstance(renderer, QgsSingleBandPseudoColorRenderer)
        self.assertEqual(renderer.band(), 4)  # the first band the model sees: red
        items = renderer.shader().rasterShaderFunction().colorRampItemList()
        self.assertEqual(items[0].color.alpha(), 0)
        values = [item.value for item in items]
        self.assertEqual(values, sorted(values))
        top = pixels(results["UNCERTAINTY"], 4)
        self.assertLessEqual(values[-1], np.nanmax(top) * 1.001)
        self.assertGreater(values[-1], 0)
        colours = [item.color for item in items[1:]]
        light = [0.2 * c.red() + 0.7 * c.green() + 0.1 * c.blue() for c in colours]
        self.assertEqual(light, sorted(light), "not perceptual: lightness must rise")

        renderer = layers["Szene: provenance"].renderer()
        self.assertIsInstance(renderer, QgsPalettedRasterRenderer)
        labels = {entry.value: entry.label for entry in renderer.classes()}
        self.assertEqual(sorted(labels), [0, 1, 2])
        self.assertIn("observed", labels[1])
        self.assertIn("filled", labels[2])
        seen = {entry.value: entry.color.alpha() for entry in renderer.classes()}
        self.assertEqual((seen[1], seen[2]), (0, 255))

    def test_results_lie_in_one_group_the_scene_on_top(self):
        """Whatever the order QGIS loads them in: its folders have random names."""
        scene = self.styled_scene()
        root = QgsProject.instance().layerTreeRoot()
        for run in range(6):
            chosen = {
                "INPUT": scene.id(),
                "MASK": str(self.mask),
                **QUICK,
                "SAMPLES": 2,
            }
            self.run_and_load(chosen)
            groups = root.findGroups()
            self.assertEqual(len(groups), run + 1)
            self.assertRegex(groups[0].name(), r"^Szene, \d\d:\d\d$")
            nodes = [
                (one.name(), one.itemVisibilityChecked())
                for one in groups[0].children()
            ]
            self.assertEqual(
                nodes,
                [
                    ("Szene: without clouds", True),
                    ("Szene: uncertainty, high = guess", False),
                    ("Szene: provenance", False),
                ],
            )

    def test_batch_of_three(self):
        jobs = [(SCENE, MASK, w) for w in (WINDOW, (0, 0, 96, 96))]
        june = DEMO / "punjab_20200604.tif"
        jobs.append((june, DEMO / "punjab_20200604_mask.tif", WINDOW))
        for number, (scene, mask, window) in enumerate(jobs):
            inputs = {
                "INPUT": str(crop(scene, self.folder / f"in {number}.tif", window)),
                "MASK": str(crop(mask, self.folder / f"mask {number}.tif", window)),
                "PROVENANCE": None,
                "UNCERTAINTY": None,
                **QUICK,
            }
            target = str(self.folder / f"out {number}.tif")
            made = QgsProcessingOutputLayerDefinition(target, QgsProject.instance())
            layers, results = self.run_and_load({**inputs, "OUTPUT": made})
            self.assertEqual(len(layers), 1)
            self.assertEqual(results["OUTPUT"], target)
            marked = pixels(inputs["MASK"]) == 1
            changed = (pixels(target) != pixels(inputs["INPUT"])).any(axis=0)
            self.assertFalse((changed & ~marked).any())
            self.assertGreater(changed[marked].mean(), 0.9)

    def model(self):
        """Clouds away, then NDVI of the result with QGIS's raster calculator."""
        model = QgsProcessingModelAlgorithm("NDVI under clouds", "", "")
        for name in ("scene", "clouds"):
            model.addModelParameter(
                QgsProcessingParameterRasterLayer(name, name),
                QgsProcessingModelParameter(name),
            )
        clear = QgsProcessingModelChildAlgorithm("unclouded:removeclouds")
        clear.setChildId("clear")
        clear.setDescription("clouds away")
        for name, parameter in (("INPUT", "scene"), ("MASK", "clouds")):
            clear.addParameterSources(name, [Source.fromModelParameter(parameter)])
        for name, value in {**QUICK, "MASK_VALUES": "1,2", "QUALITY": 1}.items():
            clear.addParameterSources(name, [Source.fromStaticValue(value)])
        ndvi = QgsProcessingModelChildAlgorithm("qgis:rastercalculator")
        ndvi.setChildId("ndvi")
        cleared = Source.fromChildOutput("clear", "OUTPUT")
        ndvi.addParameterSources("LAYERS", [cleared])
        formula = '("OUTPUT@8" - "OUTPUT@4") / ("OUTPUT@8" + "OUTPUT@4")'
        ndvi.addParameterSources("EXPRESSION", [Source.fromStaticValue(formula)])
        output = QgsProcessingModelOutput("ndvi")
        output.setChildId("ndvi")
        output.setChildOutputName("OUTPUT")
        ndvi.setModelOutputs({"ndvi": output})
        for child in (clear, ndvi):
            model.addChildAlgorithm(child)
        model.updateDestinationParameters()
        return model

    def square(self):
        """Scene and mask with square pixels: QGIS's raster calculator knows no others."""
        for path in (self.scene, self.mask):
            dataset = harness.gdal.Open(str(path), harness.gdal.GA_Update)
            dataset.SetGeoTransform([500000, 10, 0, 3400000, 0, -10])
            dataset.SetProjection(QgsCoordinateReferenceSystem("EPSG:32643").toWkt())

    def check_ndvi(self, path):
        ndvi = pixels(path)
        scene = pixels(self.scene).astype(float)
        clear = pixels(self.mask) == 0
        truth = (scene[7] - scene[3]) / (scene[7] + scene[3])
        self.assertEqual(ndvi.shape, truth.shape)
        self.assertLess(np.abs(ndvi[clear] - truth[clear]).max(), 1e-5)
        self.assertGreater(np.abs(ndvi[~clear] - truth[~clear]).mean(), 1e-3)
        self.assertTrue(np.isfinite(ndvi[~clear]).all())

    def test_in_a_model_in_this_qgis(self):
        self.square()
        target = str(self.folder / "ndvi.tif")
        found = processing.run(
            self.model(),
            {
                "scene": str(self.scene),
                "clouds": str(self.mask),
                self.destination(): target,
            },
        )
        self.assertEqual(found[self.destination()], target)
        self.check_ndvi(target)

    def destination(self):
        """What the model calls its only output; QGIS versions differ."""
        model = self.model()  # kept while its definitions are looked at
        (found,) = model.destinationParameterDefinitions()
        return found.name()

    def test_saved_model_in_qgis_process(self):
        self.square()
        saved = self.folder / "NDVI unter Wolken.model3"
        self.assertTrue(self.model().toFile(str(saved)))
        qgis_process("plugins", "enable", "unclouded_qgis")
        target = self.folder / "ndvi.tif"
        run = qgis_process(
            "run",
            saved,
            f"--scene={self.scene}",
            f"--clouds={self.mask}",
            f"--{self.destination()}={target}",
        )
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.check_ndvi(target)

    def test_failure_inside_a_model_fails_the_model(self):
        empty = self.folder / "leer.tif"
        harness.gdal.GetDriverByName("GTiff").Create(str(empty), 96, 96, 1)
        source, made = (
            harness.gdal.Open(str(self.mask)),
            harness.gdal.Open(str(empty), 1),
        )
        made.SetGeoTransform(source.GetGeoTransform())
        made.SetProjection(source.GetProjection())
        del source, made
        target = self.folder / "ndvi.tif"
        feedback = QgsProcessingFeedback(False)
        with self.assertRaisesRegex(QgsProcessingException, "clouds away"):
            processing.run(
                self.model(),
                {
                    "scene": str(self.scene),
                    "clouds": str(empty),
                    self.destination(): str(target),
                },
                feedback=feedback,
            )
        self.assertIn("nothing is marked", feedback.textLog())
        self.assertFalse(target.exists())


if __name__ == "__main__":
    unittest.main()
